"""Half a character.

Attempts: a source with a lone surrogate and a null byte, which no file can hold.
Must: lose that cell alone.
"""

EARN = {"mean": 2, "double": 3}


def edit(notebook):
    notebook["cells"].append(
        {"cell_type": "code", "source": "x = '\ud800 \x00'", "metadata": {}, "outputs": [], "execution_count": None}
    )
