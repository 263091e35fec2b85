"""Text as tokenizers and readers have it: the bytes of tokens, special tokens, chats, what cannot be seen."""
