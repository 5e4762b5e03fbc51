"""What a command does: async function, request in, result out. No text, no environment, no clock."""
