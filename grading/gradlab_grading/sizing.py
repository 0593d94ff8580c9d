"""How many workers a class needs: a deadline rush, simulated with the measured cost of a submission."""

import heapq
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Half of what is still to come arrives in each of these intervals before the deadline.
HALVING_HOURS = 2.0
WINDOW_HOURS = 48.0


@dataclass(frozen=True)
class Rush:
    """What students meet when `workers` grade at once as they hand in.

    Attributes:
        median_wait: seconds from handing in to the grade, for half of the class at most.
        longest_wait: seconds, for the unluckiest student.
        after_deadline: seconds from the deadline until the last grade.
    """

    students: int
    workers: int
    median_wait: float
    longest_wait: float
    after_deadline: float


def arrivals(students: int, seed: int = 0) -> Float[np.ndarray, " students"]:
    """When submissions arrive, in seconds before the deadline as negative numbers, in order.

    The density doubles every `HALVING_HOURS`, as it does before real deadlines: of a class, a
    third hands in during the last hour or so.
    """
    rng = np.random.default_rng(seed)
    hours = rng.exponential(HALVING_HOURS / np.log(2), students) % WINDOW_HOURS
    return np.sort(-3600 * hours)


def rush(students: int, workers: int, seconds: float) -> Rush:
    """Simulate: each submission takes `seconds` on one of `workers`, first come, first served."""
    free = [-np.inf] * workers
    heapq.heapify(free)
    waits = np.empty(students)
    last = 0.0
    for place, arrival in enumerate(arrivals(students)):
        done = max(arrival, heapq.heappop(free)) + seconds
        heapq.heappush(free, done)
        waits[place], last = done - arrival, max(last, done)
    return Rush(students, workers, float(np.median(waits)), float(waits.max()), last)


def batch_seconds(students: int, workers: int, seconds: float) -> float:
    """Time to grade a whole class after the deadline."""
    return -(-students // workers) * seconds


def workers_needed(students: int, seconds: float, within: float) -> int:
    """The fewest workers with which nobody waits longer than `within` seconds in the rush.

    Raises:
        ValueError: a submission alone takes longer than that.
    """
    if seconds > within:
        raise ValueError(f"a submission takes {seconds:g} s: nobody can have a grade within {within:g} s")
    low, high = 1, students
    while low < high:
        middle = (low + high) // 2
        if rush(students, middle, seconds).longest_wait <= within:
            high = middle
        else:
            low = middle + 1
    return low
