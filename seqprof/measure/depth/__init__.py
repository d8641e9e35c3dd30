"""Sequential depth: counted on shapes alone, without any hardware."""
