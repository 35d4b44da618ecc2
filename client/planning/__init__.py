"""Where a request goes, decided from what is known; nothing is sent or run here."""
