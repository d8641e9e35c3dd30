"""One model's trial: every stage that is measured of it, whoever conducts it."""
