"""Summaries of patients, users, devices, services and resources."""
