"""Metrics with intervals, tables, figures and the HTML report; reads artifacts only."""
