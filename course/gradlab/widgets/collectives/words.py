"""What is said of a story: a sentence for each step, and the verdicts."""

from gradlab.widgets.collectives.story import LETTERS, NOTHING, Cell, Frame, Message, Story, bound

_SLACK = 1e-6  # of a vector; messages are whole numbers of bytes
_TOLD = 2  # faults that a step names; the picture marks them all


def text(value: float) -> str:
    """A number in a cell."""
    return f"{value:.3g}"


def name(cell: Cell) -> str:
    """A number with its chunk."""
    letter = LETTERS[cell.chunk] if cell.chunk is not None else "" if cell.wrong == NOTHING else "?"
    return f"{letter} {text(cell.value)}".strip()


def number(value: float) -> str:
    """A number of vectors."""
    return f"{value:.3g}"


def sentence(story: Story, step: int) -> str:
    """What happens in a step; step 0 is the start."""
    size = len(story.frames[0].cells)
    if step == 0:
        plan = f"{_steps_of(story)} of yours to come" if story.steps else "your function sends nothing"
        return f"The start: each of {size} devices holds {size} chunks of its own vector; {plan}."
    frame = story.frames[step]
    said = f"Step {step} of {story.steps}. {_sends(frame, size)}"
    return f"{said} {_faults(story, step)}".rstrip()


def _sends(frame: Frame, size: int) -> str:
    if frame.primitive != "ppermute":
        return f"{frame.primitive}, a collective of the library: no message of yours."
    if not frame.messages:
        return "A ppermute without a message: every device receives zeros."
    first = frame.messages[0]
    what = ", ".join(name(part) for part in first.parts[:_TOLD]) + (", ..." if len(first.parts) > _TOLD else "")
    many = len(frame.messages)
    who = "Each device sends" if many == size else f"{many} of {size} devices send" if many > 1 else "One device sends"
    how = f"{number(frame.load)} of a vector" if frame.load < 1 else f"{number(frame.load)} whole vectors"
    how = "a whole vector" if abs(frame.load - 1) < _SLACK else how
    return f"{who} {how} {_way(frame.messages, size)}: device {first.source} sends {what} to device {first.target}."


def _way(messages: tuple[Message, ...], size: int) -> str:
    hops = {(message.target - message.source) % size for message in messages}
    ways = {1: "to the next device", size - 1: "to the one before it", 0: "to itself"}
    return ways.get(hops.pop(), "along the arrows") if len(hops) == 1 else "along the arrows"


def _faults(story: Story, step: int) -> str:
    """What is wrong after a step and was not before."""
    before, now = story.frames[step - 1].cells, story.frames[step].cells
    new = [
        (device, place, cell)
        for device, cells in enumerate(now)
        for place, cell in enumerate(cells)
        if cell.wrong and cell.wrong != before[device][place].wrong
    ]
    if not new:
        return ""
    told = "; ".join(f"device {device}, chunk {LETTERS[place]}: {cell.wrong}" for device, place, cell in new[:_TOLD])
    return f"Now wrong: {told}{f'; and {len(new) - _TOLD} more' if len(new) > _TOLD else ''}."


def verdicts(story: Story) -> list[tuple[str, bool]]:
    """What is to be said of the whole: each sentence with whether it is good."""
    size = len(story.frames[0].cells)
    return [_sums(story), *_library(story), *([_bytes(story, size), _steps(story, size)] if story.own else [])]


def _sums(story: Story) -> tuple[str, bool]:
    cells = [(d, c, cell) for d, row in enumerate(story.frames[-1].cells) for c, cell in enumerate(row)]
    wrong = [found for found in cells if found[2].wrong]
    if not wrong:
        return "Every device has the sum.", True
    device, place, cell = wrong[0]
    first = f"device {device}, chunk {LETTERS[place]}: {cell.wrong}"
    return f"Wrong in {len(wrong)} of {len(cells)} chunks. {first[0].upper()}{first[1:]}.", False


def _library(story: Story) -> list[tuple[str, bool]]:
    used = sorted({frame.primitive for frame in story.frames[1:]} - {"ppermute"})
    if not used:
        return []
    return [(f"It calls {', '.join(used)}: the library sends for you. Only ppermute sends a message of yours.", False)]


def _bytes(story: Story, size: int) -> tuple[str, bool]:
    sent, least = story.frames[-1].sent, bound(size)
    said = f"The busiest device sends {number(sent)} vectors; the bound is 2(n-1)/n = {number(least)}"
    if sent > least + _SLACK:
        return f"{said}: {number(sent / least)} times too many bytes.", False
    return (f"{said}: no byte too many.", True) if sent > least - _SLACK else (f"{said}: too few for a sum.", False)


def _steps_of(story: Story) -> str:
    return f"{story.steps} step{'' if story.steps == 1 else 's'}"


def _steps(story: Story, size: int) -> tuple[str, bool]:
    ring = 2 * (size - 1)
    same = story.steps == ring
    return f"{_steps_of(story)}; the ring takes 2(n-1) = {ring}.", same
