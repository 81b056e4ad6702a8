"""Devices: serial ports, RTC, IOMMU."""
