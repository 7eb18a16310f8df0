"""The formats of the other grid operators, one file per operator."""
