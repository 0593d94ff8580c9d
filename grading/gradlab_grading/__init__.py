"""GradLab, the staff's half: build, publish, grade."""
