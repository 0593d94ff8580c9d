"""A small GPT trainer: one device or many, one process or many, by the shape of a mesh.

config      the sizes of a model, and how it is trained
model       the transformer, in Flax NNX
attention   the fused kernel of the platform where it has one
remat       what the backward pass keeps and what it computes again, by name
sharding    which slice of which parameter lies on which device
trainer     initialise, step, evaluate: compiled programs with donated buffers
batches     the same batch for the same step, whatever came before
checkpoints save and resume, with Orbax
run         the loop, with its messages
cli         `python -m gradlab.gpt --help`
"""
