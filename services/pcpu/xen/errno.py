"""Xen's error numbers (xen/include/public/errno.h), returned negative."""

EPERM = 1
EIO = 5
ENOMEM = 12
EBUSY = 16
EEXIST = 17
EINVAL = 22
ENOSYS = 38
ETIMEDOUT = 110
EOPNOTSUPP = 95
