"""Rules that find what should be looked at, as data (Sigma 2.1), and their evaluation over the log.

`rules` reads rule files, `evaluation` applies rules to events in log order, `pack` has the rules that are shipped,
`cases` what people do about alerts.
"""
