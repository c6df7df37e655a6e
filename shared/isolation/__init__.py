"""Computing chunks in a process of their own, for those that may kill the process that computes them.

A file of the volume can be damaged in such a way that its decoder crashes, or unpack to more than there is memory. The
process that computes such a chunk ends without a word; whoever sent the work sends it again, and it ends again. So work
that comes again and again is done by a child process, which says which step of which chunk it begins: when it dies, its
parent knows at what.
"""
