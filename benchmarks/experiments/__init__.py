"""The rows of the table of aims: each experiment measures one or some of them."""
