public import ArgumentParser
public import Logging
public import Logs

extension LogFormat: ExpressibleByArgument {}
extension Logger.Level: @retroactive ExpressibleByArgument {}
