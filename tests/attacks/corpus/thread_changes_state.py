"""A thread that changes the answer while it is judged.

Attempts: return a list and an array that a thread keeps changing, through every value that could be right.
Must: earn nothing: what crosses is a copy of one moment.
"""

MEAN = """
import itertools, threading, time

shared = [0.0]

def change():
    for value in itertools.count():
        shared[0] = float(value % 7)
        time.sleep(0.0001)

threading.Thread(target=change, daemon=True).start()

def mean(values):
    return shared
"""
DOUBLE = """
import numpy as np

changing = np.zeros(3)
def keep_changing():
    while True:
        changing[...] = np.random.uniform(size=3)
        time.sleep(0.0001)
threading.Thread(target=keep_changing, daemon=True).start()

def double(array):
    return changing
"""
EARN = {"mean": 0, "double": 0}
