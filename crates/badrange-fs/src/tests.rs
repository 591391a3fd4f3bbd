//! What only documentation says otherwise.

mod facts;
