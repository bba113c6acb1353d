"""Files of event cameras and sensors: recognised by content, read whole or in chunks, written."""
