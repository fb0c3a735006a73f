"""What does one do about an alert? A page for each, in Chinese, from one Markdown file."""
