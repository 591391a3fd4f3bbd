//! Oracles, generators and laws for anyone's badrange Mapping or Holder.
