//! Errors as kernel functions return them: negative.

use badrange_core::Errno;

const fn ret(errno: Errno) -> i64 {
    // NO-OVERFLOW: 16 bits.
    (errno.get() as i64).wrapping_neg()
}

pub(crate) const EBUSY: i64 = ret(Errno::EBUSY);
pub(crate) const EFAULT: i64 = ret(Errno::EFAULT);
pub(crate) const EINTR: i64 = ret(Errno::new(4));
pub(crate) const EINVAL: i64 = ret(Errno::EINVAL);
pub(crate) const EIO: i64 = ret(Errno::EIO);
pub(crate) const EISDIR: i64 = ret(Errno::new(21));
pub(crate) const ENOENT: i64 = ret(Errno::new(2));
pub(crate) const ENOSPC: i64 = ret(Errno::ENOSPC);
pub(crate) const ENXIO: i64 = ret(Errno::ENXIO);
pub(crate) const EOPNOTSUPP: i64 = ret(Errno::EOPNOTSUPP);
pub(crate) const EROFS: i64 = ret(Errno::new(30));
/// What XFS calls `EFSCORRUPTED`.
pub(crate) const EUCLEAN: i64 = ret(Errno::EUCLEAN);
