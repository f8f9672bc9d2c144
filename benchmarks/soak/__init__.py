"""Mixed traffic whose both ends break off at random, and what is left in the gateway afterwards."""
