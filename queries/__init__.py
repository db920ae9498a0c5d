"""The read side: filters, pages, counts, history, summaries and exports, answered from the read models."""
