//! The client against repositories made with the library's own editor.
