"""`python -m gradlab.gpt`."""

from gradlab.gpt.cli import app

app(prog_name="python -m gradlab.gpt")
