"""Stock nbgrader, told where things are.

It is found by `nbgrader ...` run in this folder, and by JupyterLab when this folder is on
JUPYTER_CONFIG_PATH. Every path in it is absolute, so it means the same from anywhere.
"""

from pathlib import Path

from nbgrader.converters import GenerateAssignment

from gradlab_grading import build, feedback, publish
from gradlab_grading.isolate import isolate

GRADING = Path(__file__).resolve().parent
c = get_config()  # noqa: F821 traitlets puts it here

c.CourseDirectory.course_id = "gradlab"
c.CourseDirectory.root = str(GRADING)
# Left to its default, a second gradebook appears wherever JupyterLab was started.
c.CourseDirectory.db_url = f"sqlite:///{GRADING / 'gradebook.db'}"
# nbgrader releases whatever lies beside a source notebook: it must not be solutions/.
c.CourseDirectory.source_directory = "build/source"
# Not labs/: somebody's own answers may be there.
c.CourseDirectory.release_directory = "build/release"
# Where students fetch and submit. `nbgrader release_assignment` makes it. nbgrader's own default lies in /usr/local,
# where only root may make it. On a shared machine name a folder here, and in every student's configuration, that
# all of them see and may write to.
c.Exchange.root = str(GRADING / "exchange")

c.GenerateAssignment.pre_convert_hook = build.refresh
c.GenerateAssignment.preprocessors = [*GenerateAssignment().preprocessors, publish.StudentNotebook]
c.ClearSolutions.code_stub = {"python": "# Your code here, in place of the next line.\nraise NotImplementedError"}
c.ClearSolutions.text_stub = "*Your answer here, in place of this line.*"

# Seconds a cell may take. nbgrader's 30 would cut off a cell that trains, on a busy machine.
c.Execute.timeout = 300
# Saved widget state makes feedback ask a CDN, and notebooks grow to megabytes.
c.Execute.store_widget_state = False
c.ExecutePreprocessor.store_widget_state = False

# Feedback is one file that opens without a network: no script, formulas as MathML.
c.HTMLExporter.extra_template_basedirs = feedback.TEMPLATES
c.HTMLExporter.filters = {"markdown2html": feedback.markdown_to_html}

# The last line, so that every door of nbgrader grades with the engine: isolated, checked outside the student's kernel.
isolate(c)
