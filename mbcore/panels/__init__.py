"""Interactive panels: `base` is the fast panel, `style` its look, then one file per lesson."""
