"""How the shipped model of many things is trained: on one GPU, in ten minutes, without a network.

Data are made beside the training, by processes, in the order in which they are wanted; other
processes make its batches, so that the device never waits. Both stages end when their time does.
"""
