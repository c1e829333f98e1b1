public import ArgumentParser
public import Scraping

extension MetricsAddress: ExpressibleByArgument {}
