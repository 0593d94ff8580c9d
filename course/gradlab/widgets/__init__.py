"""Widgets: pictures of the student's own functions, to be touched."""
