"""What came of a run, for a reader: the table with its verdict, one HTML page, pictures.

Users import `judge` and `write_report`; the modules are for the package itself.
"""

from trading_gymnax.report.judge import Judgement, judge
from trading_gymnax.report.write import write_report

__all__ = ["Judgement", "judge", "write_report"]
