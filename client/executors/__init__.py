"""The two places where a picture can be classified, behind one interface: this device, and the endpoint."""
