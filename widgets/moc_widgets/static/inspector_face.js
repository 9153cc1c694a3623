// The inspector as a widget.

export default () => {
  let places;
  return {
    initialize({ model }) {
      const create = () => {
        const inspector = new Inspector({
          about: model.get("about"),
          first: bytesOf(model.get("first")),
          send: (message) => model.send(message),
          listen: (heard) => listenTo(model, heard),
        });
        return { root: inspector.root, dispose: () => inspector.dispose(), rest: () => inspector.pages.clear() };
      };
      places = new Places(model, create);
      return places.watch();
    },
    render({ el }) {
      places.render(el);
    },
  };
};
