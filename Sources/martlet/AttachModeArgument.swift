public import ArgumentParser
public import Balancing

/// On the command line a mode is written as in the file.
extension AttachMode: ExpressibleByArgument {}
