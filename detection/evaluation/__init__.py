"""The evaluation of rules over the log: pure, in log order, with a state that can be saved and resumed."""
