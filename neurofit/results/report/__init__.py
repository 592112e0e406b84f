"""Results as one HTML file that opens from disk without the network."""

from neurofit.results.report.page import write_report as write_report
