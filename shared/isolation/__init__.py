"""Computing chunks in a process of their own, for those that may kill the process that computes them.

A file of the volume can be damaged in such a way that its decoder crashes, or unpack to more than there is memory. The
process that computes such a chunk dies without an answer; the work is delivered again, and the next process dies as
well. So work that is delivered repeatedly is done by a child process, which reports the step of the chunk that it
begins: when it dies, its parent knows at which.
"""
