"""The page of benchmarks keeps what was not measured anew."""

import json

from gradlab_grading import bench
from gradlab_grading.bench import Table


def test_a_section_is_replaced_and_the_others_stay(tmp_path, monkeypatch):
    class Module:
        ratio = 2.0

        @classmethod
        def tables(cls):
            return [Table("Speed", "Side by side.", ("what", "ratio"), (("ours", cls.ratio),))]

    monkeypatch.setattr(bench.importlib, "import_module", lambda name: Module)
    bench.run("b", tmp_path)
    bench.run("a", tmp_path)
    Module.ratio = 3.14159
    bench.run("a", tmp_path)
    page = (tmp_path / "BENCHMARKS.md").read_text()
    assert page.index("## a") < page.index("| ours | 3.14 |") < page.index("## b") < page.index("| ours | 2 |")
    assert page.count("## ") == page.count("### ") * 2
    assert set(json.loads((tmp_path / "build/bench.json").read_text())) == {"a", "b"}
