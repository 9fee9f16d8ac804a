"""Similarity measures, and the residual loss after rescaling, centring or a linear map."""
