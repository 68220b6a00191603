"""What every demo of Unrolled shares. Knows nothing of gradio or of any demo."""
