"""Users, tokens, certificates and the audit trail."""
