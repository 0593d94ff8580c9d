"""GradLab, the student's half: checks, widgets, predictions, progress."""
