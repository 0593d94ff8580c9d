"""One call in `nbgrader_config.py` that puts the engine behind every door of nbgrader."""

from traitlets.config import Config


def isolate(c: Config) -> None:
    """Make `nbgrader autograde`, formgrader, collect, feedback and export safe.

    Labs of this course are graded in the checker, any other assignment in its kernel.
    """
    c.Autograde.sanitize_preprocessors = [
        "gradlab_grading.replay.MendNotebook",
        "nbgrader.preprocessors.ClearOutput",
        "nbgrader.preprocessors.DeduplicateIds",
        "nbgrader.preprocessors.OverwriteKernelspec",
        "nbgrader.preprocessors.OverwriteCells",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.Autograde.autograde_preprocessors = [
        "gradlab_grading.replay.IsolatedExecute",
        "nbgrader.preprocessors.IgnorePattern",
        "nbconvert.preprocessors.ClearMetadataPreprocessor",
        "nbgrader.preprocessors.LimitOutput",
        "nbgrader.preprocessors.SaveAutoGrades",
        "nbgrader.preprocessors.AssignLatePenalties",
        "nbgrader.preprocessors.CheckCellMetadata",
    ]
    c.GenerateFeedback.preprocessors = [
        "nbgrader.preprocessors.GetGrades",
        "gradlab_grading.feedback_privacy.HideHiddenTests",
        "nbconvert.preprocessors.CSSHTMLHeaderPreprocessor",
    ]
    c.ExchangeFactory.collect = "gradlab_grading.collect.SafeCollect"
    c.ZipCollectApp.extractor_plugin = "gradlab_grading.collect.SafeExtractor"
    c.ExportApp.plugin_class = "gradlab_grading.neutral_csv.NeutralCsv"
    c.Engine.assignments = {"[0-9][0-9]-*": {"mode": "checker"}}
