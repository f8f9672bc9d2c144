"""From figures to what a reader sees: tables, a chart and the page. Nothing here measures."""
