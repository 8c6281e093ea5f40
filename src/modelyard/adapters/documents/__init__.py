"""Documents for people: invoices on paper and in tables."""
