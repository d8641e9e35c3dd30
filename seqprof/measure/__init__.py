"""How a run is conducted: Spec to Recording."""
