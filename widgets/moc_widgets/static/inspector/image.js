// An image, only as the source of an <img>: there a browser runs no scripts and loads nothing.

const SMALL_PIXELS = 64;

class ImageView {
  constructor(channel) {
    this.channel = channel;
    this.note = make("div", { class: "moc-note", role: "status" });
    this.frame = make("div", { class: "moc-image-frame", tabindex: "0", role: "region", "aria-label": "Image" });
    this.element = make("div", { class: "moc-image" }, this.frame, this.note);
  }

  open(about) {
    this.name = about.name;
    this.release();
    this.hasBegun = false;
    if (this.isShown) {
      this.begin();
    }
  }

  setShown(isShown) {
    this.isShown = isShown;
    if (isShown && !this.hasBegun) {
      this.begin();
    }
  }

  begin() {
    this.hasBegun = true;
    this.note.textContent = "Reading…";
    this.channel.send({ type: "image" });
  }

  take(message, views) {
    this.release();
    this.url = URL.createObjectURL(new Blob([views[0]], { type: message.content_type }));
    const image = make("img", { alt: `Image of ${this.name}` });
    image.addEventListener("load", () => {
      // A few pixels are hard to see; each becomes several.
      const scale = Math.floor(SMALL_PIXELS / Math.max(image.naturalWidth, image.naturalHeight, 1));
      if (scale > 1) {
        image.style.width = `${scale * image.naturalWidth}px`;
        image.style.imageRendering = "pixelated";
      }
      this.note.textContent = `${grouped(image.naturalWidth)} × ${grouped(image.naturalHeight)} pixels`;
    });
    image.addEventListener("error", () => {
      this.note.textContent = "The browser cannot show this image.";
    });
    image.src = this.url;
    this.frame.replaceChildren(image);
  }

  fail(text) {
    this.note.textContent = text;
  }

  release() {
    if (this.url) {
      URL.revokeObjectURL(this.url);
      this.url = null;
    }
    this.frame.replaceChildren();
  }
}
