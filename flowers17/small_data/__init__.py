"""What people with few images want to know: more images, wrong labels, certainty, cost, reasons."""
