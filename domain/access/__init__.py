"""Principals, their operations and their scope: pure rules, the same for every API."""
