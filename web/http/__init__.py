"""HTTP itself: protocols with bounds, request bodies, content negotiation, rate limits and problem details."""
