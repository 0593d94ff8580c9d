"""What a student's HTML may bring into the instructor's page."""

from gradlab.widgets.base import picture_style
from gradlab_grading.harmless import harmless


def test_the_courses_own_style_sheet_stays():
    figure = f'<figure class="gl"><style>{picture_style()}</style><svg viewBox="0 0 1 1"></svg></figure>'
    assert harmless(figure) == figure


def test_any_other_sheet_goes_with_its_text():
    assert harmless("<p>a<style>body { display: none }</style>b</p>") == "<p>ab</p>"
    assert "style" not in harmless(f"<STYLE >{picture_style()} body {{}}</STYLE >")


def test_a_sheet_hides_nothing_from_the_cleaning():
    page = harmless(f"<style>{picture_style()}</style><style><style>x</style><script>y</script><p onclick='z'>t</p>")
    assert "<script" not in page
    assert "onclick" not in page
    assert page.count("<style>") == 1


def test_lines_keep_their_joins():
    assert 'stroke-linejoin="round"' in harmless('<svg><path d="M0 0" stroke-linejoin="round"></path></svg>')


def test_what_is_hidden_from_a_screen_reader_stays_hidden():
    swatch = '<svg aria-hidden="true" class="gl-swatch"></svg>'
    assert harmless(swatch) == swatch
